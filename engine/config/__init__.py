"""What a project and a user have settled once: named sources, defaults, health, sync and collection."""
