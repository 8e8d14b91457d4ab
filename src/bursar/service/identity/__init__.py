"""People whom somebody else vouches for: sign-in by OpenID Connect, and JWTs of an outside issuer.

Asking, downward: `provider` (the flow of OpenID Connect) and `outside` (an app's own JWTs) > `claims` (is this token
good) > `keys`, `discovery` > `refreshing` (asked at most so often) > `fetching` (one bounded request). Beside them
`people` decides whose account it is, and `flow` remembers a sign-in while the browser is away.

What an identity provider sends is a stranger's text: bounded, checked, and never in a log.
"""
