"""What this machine has (`machine`), and what a recipe will need of it (`estimates`)."""
