"""Documented endpoints of well-known providers that no general rule recognises, each after its provider's documents.

A request to one of these is the operation by its place and method alone. What an RFC already says (a form with
``grant_type``, a path ``/oauth2/revoke``) is not repeated here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from otel_oauth import kinds

if TYPE_CHECKING:
    from otel_oauth.kinds import OperationKind


class Documented(NamedTuple):
    """One endpoint of a provider, at ``https`` and the default port.

    :param path: a ``*`` stands for any characters but a slash.
    :param methods: of HTTP, separated by a space.
    :param standard: it answers as the RFC of its kind says.
    """

    host: str
    path: str
    methods: str
    kind: OperationKind
    standard: bool = False


DOCUMENTED: tuple[Documented, ...] = (
    # Google, see developers.google.com/identity/protocols/oauth2/web-server, …/openid-connect/openid-connect
    Documented("oauth2.googleapis.com", "/revoke", "POST", kinds.REVOKE),
    Documented("accounts.google.com", "/o/oauth2/revoke", "GET POST", kinds.REVOKE),
    Documented("oauth2.googleapis.com", "/tokeninfo", "GET POST", kinds.INTROSPECT),
    Documented("www.googleapis.com", "/oauth2/v1/tokeninfo", "GET POST", kinds.INTROSPECT),
    Documented("www.googleapis.com", "/oauth2/v3/tokeninfo", "GET POST", kinds.INTROSPECT),
    Documented("openidconnect.googleapis.com", "/v1/userinfo", "GET POST", kinds.USERINFO),
    Documented("www.googleapis.com", "/oauth2/v1/userinfo", "GET", kinds.USERINFO),
    Documented("www.googleapis.com", "/oauth2/v2/userinfo", "GET", kinds.USERINFO),
    Documented("www.googleapis.com", "/oauth2/v3/userinfo", "GET", kinds.USERINFO),
    Documented("www.googleapis.com", "/oauth2/v1/certs", "GET", kinds.JWKS),
    Documented("www.googleapis.com", "/oauth2/v3/certs", "GET", kinds.JWKS, standard=True),
    # Microsoft, see learn.microsoft.com/entra/identity-platform/userinfo, …/access-tokens
    Documented("graph.microsoft.com", "/oidc/userinfo", "GET POST", kinds.USERINFO, standard=True),
    Documented("login.microsoftonline.com", "/*/discovery/v2.0/keys", "GET", kinds.JWKS, standard=True),
    Documented("login.microsoftonline.com", "/*/discovery/keys", "GET", kinds.JWKS, standard=True),
    # GitHub, see docs.github.com/rest/apps/oauth-applications
    Documented("api.github.com", "/applications/*/token", "POST", kinds.INTROSPECT),
    Documented("api.github.com", "/applications/*/token", "DELETE", kinds.REVOKE),
    Documented("api.github.com", "/applications/*/grant", "DELETE", kinds.REVOKE),
    # GitLab, see docs.gitlab.com/api/oauth2, docs.gitlab.com/integration/openid_connect_provider
    Documented("gitlab.com", "/oauth/userinfo", "GET POST", kinds.USERINFO, standard=True),
    Documented("gitlab.com", "/oauth/discovery/keys", "GET", kinds.JWKS, standard=True),
    Documented("gitlab.com", "/oauth/token/info", "GET", kinds.INTROSPECT),
    # Slack, see docs.slack.dev/authentication/installing-with-oauth, …/sign-in-with-slack, …/methods/auth.revoke
    Documented("slack.com", "/api/oauth.access", "GET POST", kinds.TOKEN),
    Documented("slack.com", "/api/oauth.v2.access", "GET POST", kinds.TOKEN),
    Documented("slack.com", "/api/oauth.v2.user.access", "POST", kinds.TOKEN),
    Documented("slack.com", "/api/openid.connect.token", "GET POST", kinds.TOKEN),
    Documented("slack.com", "/api/openid.connect.userInfo", "GET POST", kinds.USERINFO),
    Documented("slack.com", "/api/auth.revoke", "GET POST", kinds.REVOKE),
    Documented("slack.com", "/openid/connect/keys", "GET", kinds.JWKS, standard=True),
    # Facebook, see developers.facebook.com/docs/facebook-login/guides/advanced/manual-flow, …/for-devices
    Documented("graph.facebook.com", "/debug_token", "GET", kinds.INTROSPECT),
    Documented("graph.facebook.com", "/v*/debug_token", "GET", kinds.INTROSPECT),
    Documented("graph.facebook.com", "/v*/*/permissions", "DELETE", kinds.REVOKE),
    Documented("graph.facebook.com", "/v*/device/login", "POST", kinds.DEVICE_AUTHORIZATION),
    Documented("graph.facebook.com", "/v*/device/login_status", "POST", kinds.TOKEN),
    # LinkedIn, see learn.microsoft.com/linkedin/shared/authentication/token-introspection, …/sign-in-with-linkedin-v2
    Documented("www.linkedin.com", "/oauth/v2/introspectToken", "POST", kinds.INTROSPECT, standard=True),
    Documented("www.linkedin.com", "/oauth/openid/jwks", "GET", kinds.JWKS, standard=True),
    Documented("api.linkedin.com", "/v2/userinfo", "GET", kinds.USERINFO, standard=True),
    # Kakao, see developers.kakao.com/docs/latest/en/kakaologin/rest-api
    Documented("kapi.kakao.com", "/v1/oidc/userinfo", "GET POST", kinds.USERINFO, standard=True),
    Documented("kapi.kakao.com", "/v1/user/access_token_info", "GET", kinds.INTROSPECT),
    # Discord, see discord.com/developers/docs/topics/oauth2
    Documented("discord.com", "/api/oauth2/userinfo", "GET", kinds.USERINFO, standard=True),
    Documented("discord.com", "/api/oauth2/keys", "GET", kinds.JWKS, standard=True),
    # X, see developer.x.com/en/docs/authentication/api-reference/invalidate_bearer_token
    Documented("api.twitter.com", "/oauth2/invalidate_token", "POST", kinds.REVOKE),
    Documented("api.x.com", "/oauth2/invalidate_token", "POST", kinds.REVOKE),
    # Salesforce: help.salesforce.com, «Query for User Information», «OpenID Connect Dynamic Client …»
    Documented("login.salesforce.com", "/services/oauth2/userinfo", "GET POST", kinds.USERINFO, standard=True),
    Documented("login.salesforce.com", "/id/keys", "GET", kinds.JWKS, standard=True),
    # Stripe, see docs.stripe.com/connect/oauth-reference
    Documented("connect.stripe.com", "/oauth/deauthorize", "POST", kinds.REVOKE),
    # Apple, see developer.apple.com/documentation/signinwithapplerestapi
    Documented("appleid.apple.com", "/auth/keys", "GET", kinds.JWKS, standard=True),
    # Twitch, see dev.twitch.tv/docs/authentication/validate-tokens, …/getting-tokens-oidc
    Documented("id.twitch.tv", "/oauth2/validate", "GET", kinds.INTROSPECT),
    Documented("id.twitch.tv", "/oauth2/userinfo", "GET", kinds.USERINFO, standard=True),
    Documented("id.twitch.tv", "/oauth2/keys", "GET", kinds.JWKS, standard=True),
    # Dropbox, see dropbox.com/developers/documentation/http/documentation#auth-token-revoke
    Documented("api.dropboxapi.com", "/2/auth/token/revoke", "POST", kinds.REVOKE),
    Documented("api.dropboxapi.com", "/2/openid/userinfo", "POST", kinds.USERINFO, standard=True),
    # LINE, see developers.line.biz/en/reference/line-login
    Documented("api.line.me", "/oauth2/v2.1/verify", "GET POST", kinds.INTROSPECT),
    Documented("api.line.me", "/oauth2/v2.1/revoke", "POST", kinds.REVOKE),
    Documented("api.line.me", "/oauth2/v2.1/userinfo", "GET POST", kinds.USERINFO, standard=True),
    Documented("api.line.me", "/oauth2/v2.1/certs", "GET", kinds.JWKS, standard=True),
    # Amazon, see developer.amazon.com/docs/login-with-amazon/obtain-customer-profile.html
    Documented("api.amazon.com", "/auth/o2/tokeninfo", "GET", kinds.INTROSPECT),
    # HubSpot, see developers.hubspot.com/docs/reference/api/app-management/oauth/tokens
    Documented("api.hubapi.com", "/oauth/v1/access-tokens/*", "GET", kinds.INTROSPECT),
    Documented("api.hubapi.com", "/oauth/v1/refresh-tokens/*", "GET", kinds.INTROSPECT),
    Documented("api.hubapi.com", "/oauth/v1/refresh-tokens/*", "DELETE", kinds.REVOKE),
    # Zoom, see developers.zoom.us/docs/integrations/oauth
    Documented("zoom.us", "/oauth/revoke", "POST", kinds.REVOKE),
    # PayPal, see developer.paypal.com/docs/api/identity/v1
    Documented("api-m.paypal.com", "/v1/identity/openidconnect/userinfo", "GET", kinds.USERINFO),
)
"""What is known of providers without having been learned; facts that change seldom."""
