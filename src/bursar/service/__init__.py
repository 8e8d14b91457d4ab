"""The service: HTTP in front of the one engine.

`app` wires everything. `api`, `contracts` and `providers` are siblings that never import each other; what they share
(`auth`, `problems`, `wire`, `context`) stands beside them.
"""
