"""What the host of a provider is called in the label ``provider``."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

WELL_KNOWN_PROVIDERS = {
    "accounts.google.com": "google",
    "oauth2.googleapis.com": "google",
    "openidconnect.googleapis.com": "google",
    "www.googleapis.com": "google",
    "login.microsoftonline.com": "microsoft",
    "graph.microsoft.com": "microsoft",
    "github.com": "github",
    "api.github.com": "github",
    "gitlab.com": "gitlab",
    "slack.com": "slack",
    "graph.facebook.com": "facebook",
    "www.facebook.com": "facebook",
    "www.linkedin.com": "linkedin",
    "api.linkedin.com": "linkedin",
    "discord.com": "discord",
    "accounts.spotify.com": "spotify",
    "appleid.apple.com": "apple",
    "login.salesforce.com": "salesforce",
    "connect.stripe.com": "stripe",
    "auth.atlassian.com": "atlassian",
    "api.twitter.com": "x",
    "api.x.com": "x",
    "www.reddit.com": "reddit",
    "oauth.reddit.com": "reddit",
    "sts.googleapis.com": "google",
    "securetoken.googleapis.com": "google",
    "test.salesforce.com": "salesforce",
    "api.instagram.com": "instagram",
    "graph.instagram.com": "instagram",
    "nid.naver.com": "naver",
    "openapi.naver.com": "naver",
    "kauth.kakao.com": "kakao",
    "kapi.kakao.com": "kakao",
    "id.twitch.tv": "twitch",
    "api.twitch.tv": "twitch",
    "api.dropboxapi.com": "dropbox",
    "api.line.me": "line",
    "api.amazon.com": "amazon",
    "api.hubapi.com": "hubspot",
    "api-m.paypal.com": "paypal",
    "api.weixin.qq.com": "wechat",
    "zoom.us": "zoom",
}
"""Hosts of well-known providers and the name that stands for them in the label ``provider``."""


def provider_name(url: str, named: Mapping[str, str]) -> str:
    """Return the name of the provider that ``url`` leads to: that of its host, else the host; empty without one.

    :param url: a URL, or only its authority.
    :param named: the user's own names of hosts, with or without port, which go first.
    """
    before, scheme, after = url.partition("://")
    authority = after if scheme else before
    authority = authority.partition("/")[0].partition("?")[0].partition("#")[0].rpartition("@")[2].lower()
    host = authority.partition(":")[0] if not authority.startswith("[") else authority.partition("]")[0] + "]"
    return named.get(authority) or named.get(host) or WELL_KNOWN_PROVIDERS.get(host) or host[:253]
