"""One file a family; `ls` is the list of what is supported."""
