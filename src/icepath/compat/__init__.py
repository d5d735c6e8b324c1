"""Ways in for programs that were not written for icepath: other languages, other libraries' users."""
