"""Networks: Table 1's generator, extractor and discriminator, and the maps they are judged against."""
