"""What two people with two computers use: texts pasted between terminals, and what goes over the path."""
