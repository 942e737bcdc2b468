"""What is installed (`packages`), what this machine has (`machine`), and what a recipe will need (`estimates`)."""
