"""What modules share that send requests to servers and try the next: health, OPTIONS, attempts, decisions.

No module itself: ``dispatcher`` and ``lcr`` stand on it.
"""
