"""Find faces in photographs and videos and recognize their expressions."""
