"""What is looked for in the rows beyond their form, batch by batch."""
