"""Takes over users and registrations of other servers: ``sansip import``."""
