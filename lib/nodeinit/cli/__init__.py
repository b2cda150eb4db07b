"""The command line `nodeinit`. What takes time to import is imported where it is used."""
