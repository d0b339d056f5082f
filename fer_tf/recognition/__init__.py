"""Trained networks at work on faces and photographs."""
