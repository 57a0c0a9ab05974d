"""What other servers keep, taken over: ``sansip import``."""
