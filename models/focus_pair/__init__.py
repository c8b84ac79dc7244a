"""Focus from a pair of images (T. Rai Dastidar, CVPR Workshops 2020)."""
