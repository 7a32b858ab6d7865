"""Training: optimiser, log, Lightning modules for pre-training and fine-tuning."""
