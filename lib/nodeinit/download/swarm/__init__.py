"""Hosts that give each other the files of a model, so that each byte leaves its origin once.

A swarm is private to one download of one cluster: its members are the hosts that the driver names.
`coordinator` is the driver's end, `member` the end of a host; `words` is what they tell each other,
by whatever carries it. The bytes go by libtorrent (extra `nodeinit[swarm]`), which is imported only
where a host really takes part.
"""
