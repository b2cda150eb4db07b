"""The machines that come with nodeinit: definitions only, found by entry point like anybody's."""
