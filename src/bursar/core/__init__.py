"""The rules of the ledger: pure, deterministic, without I/O, clock, randomness or framework.

Time and ids come in as arguments; amounts are integers of nano-credits; everything else of Bursar is built on this
package and this package knows nothing of it.
"""
