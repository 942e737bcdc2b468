"""Teaching: what a student predicts before an experiment, and how well it came true."""
