"""What the steps of a run do, one file per stage; `table` says which step is done by which function."""
