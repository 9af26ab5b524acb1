"""What Redis runs for the ledger, each in one go; ``KEYS[1]`` is the hash with the ledger's identity and key."""

from __future__ import annotations

from hashlib import sha1
from typing import NamedTuple

from otel_oauth.ledger._entry import COUNTED, Kind


class Script(NamedTuple):
    """A script, and the digest by which Redis knows it once it ran."""

    text: bytes
    digest: str


NAME = {kind: kind.name.lower() for kind in Kind}
"""What the kinds of records are called in Redis."""

_BESIDES = ", ".join(f"{NAME[kind]} = '{NAME[besides]}'" for kind, (besides, _) in COUNTED.items())


def _script(text: str) -> Script:
    data = text.encode("ascii")
    return Script(data, sha1(data, usedforsecurity=False).hexdigest())


# Returns the identity and the key of the ledger, which is made of the given ones if there is none.
# ARGV: identity, key, milliseconds to live.
IDENTIFY = _script("""
redis.call('HSETNX', KEYS[1], 'id', ARGV[1])
redis.call('HSETNX', KEYS[1], 'key', ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return redis.call('HMGET', KEYS[1], 'id', 'key')
""")

# Applies the writes if every record is as it was read; returns {0, what is there...} if not, else {1, kinds of which
# a record was evicted...}; {-1} if the ledger is not the one that is meant.
# ARGV: identity, prefix, size, number of reads, (name, value) of each read, (kind, digest, value, expiry in
# microseconds, milliseconds to live) of each write. A value is empty where there is no record.
# With an evicted record goes the one that it is counted as besides.
COMMIT = _script(
    f"local besides = {{{_BESIDES}}}"
    """
if redis.call('HGET', KEYS[1], 'id') ~= ARGV[1] then return {-1} end
local prefix, size, reads = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local same, found = true, {0}
for i = 5, 3 + 2 * reads, 2 do
  local value = redis.call('GET', prefix .. ARGV[i]) or ''
  found[#found + 1] = value
  same = same and value == ARGV[i + 1]
end
if not same then return found end
local done = {1}
for i = 5 + 2 * reads, #ARGV, 5 do
  local kind, digest, value, ttl = ARGV[i], ARGV[i + 1], ARGV[i + 2], tonumber(ARGV[i + 4])
  local name, index = prefix .. kind .. ':' .. digest, prefix .. 'expiry:' .. kind
  if value == '' then
    redis.call('DEL', name)
    redis.call('ZREM', index, digest)
  else
    if not redis.call('ZSCORE', index, digest) and redis.call('ZCARD', index) >= size then
      local next = redis.call('ZRANGE', index, 0, 0)[1]
      for _, each in ipairs({kind, besides[kind]}) do
        if redis.call('ZREM', prefix .. 'expiry:' .. each, next) == 1 then done[#done + 1] = each end
        redis.call('DEL', prefix .. each .. ':' .. next)
      end
    end
    redis.call('SET', name, value, 'PX', ttl)
    redis.call('ZADD', index, ARGV[i + 3], digest)
    if redis.call('PTTL', index) < ttl then redis.call('PEXPIRE', index, ttl) end
  end
end
return done
"""
)

# Removes what expired and returns {kind, value, kind, value...}; {-1} as above.
# ARGV: identity, prefix, milliseconds for the identity to live, now in microseconds, how many at most, kinds...
PURGE = _script("""
if redis.call('HGET', KEYS[1], 'id') ~= ARGV[1] then return {-1} end
redis.call('PEXPIRE', KEYS[1], ARGV[3])
local gone, left = {}, tonumber(ARGV[5])
for i = 6, #ARGV do
  local kind = ARGV[i]
  local index = ARGV[2] .. 'expiry:' .. kind
  for _, digest in ipairs(redis.call('ZRANGEBYSCORE', index, '-inf', ARGV[4], 'LIMIT', 0, left)) do
    local name = ARGV[2] .. kind .. ':' .. digest
    gone[#gone + 1] = kind
    gone[#gone + 1] = redis.call('GET', name) or ''
    redis.call('DEL', name)
    redis.call('ZREM', index, digest)
    left = left - 1
  end
end
return gone
""")
