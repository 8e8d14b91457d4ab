"""The face over HTTP: a ledger that a service keeps, spoken to by its API.

    face (accounts, spending, giving, holding: unchanged)  ->  RemotePort.execute  ->  verbs: a command as a request
    face.RemoteCredits (what is read, the catalogue)       ->  RemotePort.ask
                                                                    |
                                                        Connection: pooled, repeated, timed
                                                            LoopConnection     event loops
                                                            ThreadConnection   threads

A command is checked here by the rules' own `check`, sent under one idempotency key however often it has to be
repeated, and a refusal comes back as the error that it was over there. A new verb is one row in `verbs`, a new read
one method in `face`. httpx is imported when a ledger is opened by its URL, and only then.
"""
