"""What else would serve the same model.pt, each as it is best used, in processes of its own."""
