"""The published systems that Bursar replaces: their functions and texts, in Python's spelling. HTTP faces are in
`service.contracts`.
"""
