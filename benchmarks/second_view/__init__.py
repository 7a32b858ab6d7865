"""Does the second view count? The ceiling that geometry sets, and what short trainings reach of it."""
