"""Questions put to a trained model, each in one folder: what is measured, drawn and written of it."""
