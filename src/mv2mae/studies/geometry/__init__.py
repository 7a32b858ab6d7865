"""Where the cross-attention looks, measured on drawn performances: `mv2mae geometry`."""
