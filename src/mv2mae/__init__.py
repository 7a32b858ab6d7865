"""MV2MAE: self-supervised video pre-training from several synchronised cameras."""
