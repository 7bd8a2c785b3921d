"""The Lua scripts that read one shard's indexes, and mend what they find out of date.

Redis drops a session whose time is up by itself, and not its places in the indexes; a save moves
the end of a lease and the time of the last save, and not these places. So a place may be early, or
that of a session that is gone, but no session is without one.
"""

from typing import Final

_CLOCK: Final = """
local now, ttl = tonumber(ARGV[1]), tonumber(ARGV[2])
if not now then
  local clock = redis.call('TIME')
  now = tonumber(clock[1]) + tonumber(clock[2]) / 1000000
end
local function exact(value) return string.format('%.17g', value) end
local function answer(found)
  -- One text, since redis-py takes longer over many short ones than over anything else here.
  return {exact(now), #found == 0 and '[]' or cjson.encode(found)}
end
"""

# Mending must not fail a read: a server that is short of disk refuses it.
_HEADS: Final = (
    _CLOCK
    + """
local index = KEYS[1]
local function read(key)
  local kind = redis.call('TYPE', key)['ok']
  if kind == 'none' then return nil, true end
  if kind ~= 'hash' then return nil, false end
  local found = redis.call('HMGET', key, 'version', 'owner', 'until', 'updated_at', 'created_at',
    'status', 'due_at', 'answers_posted', 'answers_read')
  local session = {version = tonumber(found[1] or ''), owner = found[2],
    ends = tonumber(found[3] or ''), updated_at = tonumber(found[4] or ''),
    created_at = tonumber(found[5] or ''), status = found[6],
    due_at = found[7] == '' and '' or tonumber(found[7] or ''),
    posted = tonumber(found[8] or ''), read = tonumber(found[9] or '')}
  if not (session.version and session.owner and session.ends and session.updated_at
      and session.created_at and session.status and session.due_at and session.posted
      and session.read) then
    return nil, false
  end
  session.is_leased = session.owner ~= '' and session.ends > now
  session.is_expired = ttl > 0 and not session.is_leased and session.updated_at + ttl <= now
  return session, false
end
"""
)

# now, nothing, 'up' or 'down', count, score and name of the last entry that is known or nothing.
# Ranks are halved until that place is found, since its entry may be gone.
ENTRIES: Final = (
    _CLOCK
    + """
local index, is_down, count = KEYS[1], ARGV[3] == 'down', tonumber(ARGV[4])
local command = is_down and 'ZREVRANGE' or 'ZRANGE'
local function is_greater(one, other)
  -- By bytes: how Lua itself compares text depends on where the server runs.
  for place = 1, math.min(#one, #other) do
    local left, right = string.byte(one, place), string.byte(other, place)
    if left ~= right then return left > right end
  end
  return #one > #other
end
local first = 0
if ARGV[5] ~= '' then
  local score, name = tonumber(ARGV[5]), ARGV[6]
  local last = redis.call('ZCARD', index)
  while first < last do
    local middle = math.floor((first + last) / 2)
    local entry = redis.call(command, index, middle, middle, 'WITHSCORES')
    local at = tonumber(entry[2])
    local is_later
    if at ~= score then
      is_later = (at > score) ~= is_down
    else
      is_later = entry[1] ~= name and is_greater(entry[1], name) ~= is_down
    end
    if is_later then last = middle else first = middle + 1 end
  end
end
return answer(redis.call(command, index, first, first + count - 1, 'WITHSCORES'))
"""
)

# now, ttl, '=' and status or nothing, ids
LISTED: Final = (
    _HEADS
    + """
local found = {}
for place = 2, #KEYS do
  local session, is_gone = read(KEYS[place])
  if is_gone or (session and session.version == 0) then
    redis.pcall('ZREM', index, ARGV[place + 2])
  elseif session and not session.is_expired
      and (ARGV[3] == '' or string.sub(ARGV[3], 2) == session.status) then
    found[#found + 1] = {place - 2, string.format('%d', session.version), session.status,
      session.is_leased and 1 or 0, exact(session.created_at), exact(session.updated_at)}
  end
end
return answer(found)
"""
)

# now, ttl, members
DUE: Final = (
    _HEADS
    + """
local found = {}
for place = 2, #KEYS do
  local session, is_gone = read(KEYS[place])
  local member = ARGV[place + 1]
  local wanted = nil
  if session and session.version > 0 then
    if session.owner ~= '' then
      wanted = session.ends
    elseif session.posted > session.read then
      wanted = 0
    elseif session.due_at ~= '' then
      wanted = session.due_at
    end
  end
  if session and not session.is_expired and wanted and wanted <= now then
    found[#found + 1] = {place - 2, exact(wanted)}
  elseif wanted then
    redis.pcall('ZADD', index, exact(wanted), member)
  elseif session or is_gone then
    redis.pcall('ZREM', index, member)
  end
end
return answer(found)
"""
)

# KEYS: the index for sweep, that for due, then head, log, inbox and index for list of each session.
# now, ttl, then id and member of each.
SWEEP: Final = (
    _HEADS
    + """
local swept = 0
for place = 3, #KEYS, 4 do
  local agent_id, member = ARGV[(place + 3) / 2], ARGV[(place + 5) / 2]
  local session, is_gone = read(KEYS[place])
  if is_gone or (session and session.is_expired) then
    redis.call('DEL', KEYS[place], KEYS[place + 1], KEYS[place + 2])
    redis.call('ZREM', KEYS[1], member)
    redis.call('ZREM', KEYS[2], member)
    redis.call('ZREM', KEYS[place + 3], agent_id)
    swept = swept + (session and 1 or 0)
  elseif session then
    redis.pcall('ZADD', KEYS[1], exact(session.updated_at), member)
  end
end
return {exact(now), swept}
"""
)
