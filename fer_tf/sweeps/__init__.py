"""Many runs, one after the other, into one folder that can be stopped and started again at any moment."""
