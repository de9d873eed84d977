"""Face encoders: networks that turn 56x56 photos into features, and the loss that trains them."""
