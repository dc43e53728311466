"""Who may call Commodore."""

from frameworks.kit.identity import PrincipalKind, Rule

_USER, _TOKEN, _NODE = PrincipalKind.USER, PrincipalKind.API_TOKEN, PrincipalKind.NODE
_PUBLIC = Rule.allow(PrincipalKind.PUBLIC)
_SELF = Rule.allow(_USER, scope="account:write")
_READ = Rule.allow(_USER, _TOKEN, scope="streams:read")
_WRITE = Rule.allow(_USER, _TOKEN, scope="streams:write")
_COMMAND_LINE = Rule.allow(services={"cli"})

RULES: dict[str, Rule] = {
    "IssueChallenge": _PUBLIC,
    "Register": _PUBLIC,
    "VerifyEmail": _PUBLIC,
    "SignIn": _PUBLIC,
    "Refresh": _PUBLIC,
    "SignOut": _PUBLIC,
    "RequestPasswordReset": _PUBLIC,
    "ResetPassword": _PUBLIC,
    "ConfirmEmailChange": _PUBLIC,
    "GetKeySet": _PUBLIC,
    "GetMe": _SELF,
    "ChangePassword": _SELF,
    "ChangeEmail": _SELF,
    "SignOutEverywhere": _SELF,
    "DeleteAccount": _SELF,
    "CreateStream": _WRITE,
    "UpdateStream": _WRITE,
    "DeleteStream": _WRITE,
    "GetStreams": Rule.allow(_USER, _TOKEN, PrincipalKind.SERVICE, scope="streams:read"),
    "ListStreams": _READ,
    "RotateStreamKey": _WRITE,
    "CreateStreamKey": _WRITE,
    "DeactivateStreamKey": _WRITE,
    "ListStreamKeys": _WRITE,
    "ValidateStreamKey": _READ,
    "ListRefusedIngests": _READ,
    "CreateApiToken": Rule.allow(_USER, scope="developer:write"),
    "ListApiTokens": Rule.allow(_USER, _TOKEN, scope="developer:read"),
    "RevokeApiToken": Rule.allow(_USER, _TOKEN, scope="developer:write"),
    "ExchangeApiToken": Rule.allow(services={"bridge", "signalman"}),
    "AdmitPublish": Rule.allow(_NODE),
    "RenewClaims": Rule.allow(_NODE),
    "ReleaseClaim": Rule.allow(_NODE),
    "ResolvePlayback": Rule.allow(_NODE, services={"foghorn"}),
    "ResolveIngest": Rule.allow(services={"foghorn"}),
    "StandingChanged": Rule.allow(services={"purser"}),
    "EnsureUser": _COMMAND_LINE,
    "EnsureStream": _COMMAND_LINE,
}
