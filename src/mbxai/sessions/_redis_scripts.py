"""The Lua scripts that read and write one session: each happens as a whole or not at all.

A script that fails has changed nothing: it looks at everything it will touch first, and its first
write is one that a full server refuses. The rules are those of `_lease.py`, which says what was
wrong with a write that a script refused.
"""

from typing import Final

FIELDS: Final = (
    *("version", "fence", "seq", "answers_posted", "answers_read", "dropped"),
    *("until", "lease_seconds", "created_at", "updated_at", "due_at", "status", "owner", "data"),
)
"""Fields of a session's head, in the order of the answers of scripts."""

# FIELDS are six whole numbers, four numbers, one that may be empty, and three texts.
_BEGINNING: Final = f"""
local fields = {{{", ".join(f"'{field}'" for field in FIELDS)}}}
local head, log, inbox, listed, due, saved = unpack(KEYS)
local now, ttl, agent_id, member = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3], ARGV[4]
if not now then
  local clock = redis.call('TIME')
  now = tonumber(clock[1]) + tonumber(clock[2]) / 1000000
end
local function whole(value) return string.format('%d', value) end
local function exact(value) return string.format('%.17g', value) end
for place, kind in ipairs({{'hash', 'stream', 'hash', 'zset', 'zset', 'zset'}}) do
  local found = redis.call('TYPE', KEYS[place])['ok']
  if found ~= 'none' and found ~= kind then
    return {{place <= 3 and 'damaged' or 'occupied', exact(now)}}
  end
end
local session, is_leased = nil, false
if redis.call('EXISTS', head) == 1 then
  session = {{}}
  for place, value in ipairs(redis.call('HMGET', head, unpack(fields))) do
    if not value then return {{'damaged', exact(now)}} end
    if place > 11 or (place == 11 and value == '') then
      session[fields[place]] = place > 11 and value or nil
    elseif string.find(value, place <= 6 and '^%d+$' or '^%-?%d+%.?%d*e?[%+%-]?%d*$') then
      session[fields[place]] = tonumber(value)
    else
      return {{'damaged', exact(now)}}
    end
  end
  is_leased = session.owner ~= '' and session['until'] > now
  if ttl > 0 and not is_leased and session.updated_at + ttl <= now then
    session = nil
  elseif redis.call('XLEN', log) ~= session.seq - session.dropped
      or redis.call('HLEN', inbox) ~= 3 * session.answers_posted - session.answers_read then
    return {{'damaged', exact(now)}}
  end
end
local function answer(word, count)
  return {{word, exact(now), unpack(redis.call('HMGET', head, unpack(fields, 1, count)))}}
end
local function keep()
  local ends = nil
  if ttl > 0 then
    ends = session.updated_at + ttl
    if session.owner ~= '' then ends = math.max(ends, session['until']) end
  elseif session.version == 0 then
    ends = session['until'] + 86400
  end
  for place = 1, 3 do
    if ends then
      local left = math.min(math.max(math.ceil((ends - now) * 1000), 1), 1e14)
      redis.call('PEXPIRE', KEYS[place], string.format('%.0f', left))
    else
      redis.call('PERSIST', KEYS[place])
    end
  end
end
"""

LOAD: Final = (
    _BEGINNING
    + """
return session and answer('done', 14) or {'absent', exact(now)}
"""
)

PEEK: Final = (
    _BEGINNING
    + """
return {'done', exact(now), whole(session and session.seq or 0)}
"""
)

# token, data, status, due_at or nothing, rows
CREATE: Final = (
    _BEGINNING
    + """
local rows = #ARGV - 8
if session then
  if redis.call('HGET', head, 'made') ~= ARGV[5] then return answer('refused', 14) end
  -- The same script ran before, and only its answer was lost.
  redis.call('HSET', head, 'made', ARGV[5])
  return answer('done', 13)
end
redis.call('HSET', head, 'version', '1', 'fence', '0', 'seq', whole(rows), 'answers_posted', '0',
  'answers_read', '0', 'dropped', '0', 'until', '0', 'lease_seconds', '0', 'created_at', exact(now),
  'updated_at', exact(now), 'due_at', ARGV[8], 'status', ARGV[7], 'owner', '', 'data', ARGV[6],
  'made', ARGV[5])
redis.call('HDEL', head, 'write')
redis.call('DEL', log, inbox)
for row = 1, rows do
  redis.call('XADD', log, whole(row) .. '-0', 'row', ARGV[8 + row])
end
redis.call('ZADD', listed, exact(now), agent_id)
redis.call('ZADD', saved, exact(now), member)
if ARGV[8] == '' then
  redis.call('ZREM', due, member)
else
  redis.call('ZADD', due, ARGV[8], member)
end
session = {version = 1, owner = '', updated_at = now}
keep()
return answer('done', 13)
"""
)

# owner, lease_seconds, data of a new session
CLAIM: Final = (
    _BEGINNING
    + """
local owner, lease = ARGV[5], tonumber(ARGV[6])
local ends = now + lease
if not session then
  redis.call('HSET', head, 'version', '0', 'fence', '1', 'seq', '0', 'answers_posted', '0',
    'answers_read', '0', 'dropped', '0', 'until', exact(ends), 'lease_seconds', exact(lease),
    'created_at', exact(now), 'updated_at', exact(now), 'due_at', '', 'status', '', 'owner', owner,
    'data', ARGV[7])
  redis.call('HDEL', head, 'write', 'made')
  redis.call('DEL', log, inbox)
  redis.call('ZREM', listed, agent_id)
  redis.call('ZREM', due, member)
  redis.call('ZREM', saved, member)
  if ttl > 0 then redis.call('ZADD', saved, exact(now), member) end
  session = {version = 0, updated_at = now}
else
  if session.owner ~= owner and is_leased then return answer('refused', 14) end
  local fence = session.owner == owner and session.fence or session.fence + 1
  redis.call('HSET', head, 'fence', whole(fence), 'owner', owner, 'until', exact(ends),
    'lease_seconds', exact(lease))
  if session.version > 0 then redis.call('ZADD', due, exact(ends), member) end
end
session.owner, session['until'] = owner, ends
keep()
return answer('done', 14)
"""
)

# owner, version, fence, token, data or nothing, '=' and status or nothing, answers_read, drop_rows,
# rows. The end of the lease only moves on, so the index for due, which may be early, stays.
SAVE: Final = (
    _BEGINNING
    + """
if not session then return {'refused', exact(now)} end
if redis.call('HGET', head, 'write') == ARGV[8] then
  -- The same script ran before, and only its answer was lost.
  redis.call('HSET', head, 'write', ARGV[8])
  return answer('done', 13)
end
if session.owner ~= ARGV[5] or session.version ~= tonumber(ARGV[6])
    or session.fence ~= tonumber(ARGV[7]) then
  return answer('refused', 14)
end
local seq = session.seq
for place = 13, #ARGV do
  seq = seq + 1
  local done = redis.pcall('XADD', log, whole(seq) .. '-0', 'row', ARGV[place])
  if done['err'] then
    -- Only the first row can fail: its number is taken, or the server refuses to write.
    return string.find(done['err'], 'XADD', 1, true) and {'damaged', exact(now)} or done
  end
end
local read = math.min(math.max(tonumber(ARGV[11]), session.answers_read), session.answers_posted)
local dropped = math.max(math.min(tonumber(ARGV[12]), seq), session.dropped)
local ends = now + session.lease_seconds
local changes = {'version', whole(session.version + 1), 'until', exact(ends), 'updated_at',
  exact(now), 'seq', whole(seq), 'write', ARGV[8]}
local function change(field, value)
  changes[#changes + 1], changes[#changes + 2] = field, value
end
if ARGV[9] ~= '' then change('data', ARGV[9]) end
if ARGV[10] ~= '' then change('status', string.sub(ARGV[10], 2)) end
if read > session.answers_read then change('answers_read', whole(read)) end
if dropped > session.dropped then change('dropped', whole(dropped)) end
redis.call('HSET', head, unpack(changes))
for number = session.answers_read + 1, read do
  redis.call('HDEL', inbox, 'content ' .. whole(number))
end
if dropped > session.dropped then
  redis.call('XTRIM', log, 'MINID', whole(dropped + 1) .. '-0')
end
if session.version == 0 then
  redis.call('ZADD', listed, exact(session.created_at), agent_id)
  redis.call('ZADD', saved, exact(now), member)
  redis.call('ZADD', due, exact(ends), member)
end
session.version, session.updated_at, session['until'] = session.version + 1, now, ends
keep()
return answer('done', 13)
"""
)

# owner, fence
HEARTBEAT: Final = (
    _BEGINNING
    + """
if not session then return {'refused', exact(now)} end
if session.owner ~= ARGV[5] or session.fence ~= tonumber(ARGV[6]) then
  return answer('refused', 14)
end
session['until'] = now + session.lease_seconds
redis.call('HSET', head, 'until', exact(session['until']))
keep()
return {'done', exact(now)}
"""
)

# owner, fence, due_at or nothing
RELEASE: Final = (
    _BEGINNING
    + """
if not session or session.owner ~= ARGV[5] or session.fence ~= tonumber(ARGV[6]) then
  return {'done', exact(now)}
end
if session.version == 0 and is_leased then
  redis.call('DEL', head, log, inbox)
  redis.call('ZREM', saved, member)
  return {'done', exact(now)}
end
redis.call('HSET', head, 'owner', '', 'until', '0', 'due_at', ARGV[7])
local wanted = session.answers_posted > session.answers_read and '0' or ARGV[7]
if wanted == '' or session.version == 0 then
  redis.call('ZREM', due, member)
else
  redis.call('ZADD', due, wanted, member)
end
session.owner = ''
keep()
return {'done', exact(now)}
"""
)

# interaction_id, content. The inbox has three fields for an answer: its number, its time and
# interaction, and its content, which a save that takes it in removes.
POST: Final = (
    _BEGINNING
    + """
if not session or session.version == 0 then return {'refused', exact(now)} end
local number = redis.call('HGET', inbox, 'number ' .. ARGV[5])
if number then
  redis.call('HSET', inbox, 'number ' .. ARGV[5], number)
else
  number = whole(session.answers_posted + 1)
  redis.call('HSET', inbox, 'number ' .. ARGV[5], number, 'content ' .. number, ARGV[6],
    'label ' .. number, exact(now) .. ' ' .. ARGV[5])
  redis.call('HSET', head, 'answers_posted', number)
  if session.owner == '' then redis.call('ZADD', due, '0', member) end
  keep()
end
return {'done', exact(now), number,
  unpack(redis.call('HMGET', inbox, 'label ' .. number, 'content ' .. number))}
"""
)

# after
READ_ANSWERS: Final = (
    _BEGINNING
    + """
local found = {}
if session then
  for place = tonumber(ARGV[5]) + 1, session.answers_posted do
    local number = whole(place)
    found[#found + 1] = {number,
      unpack(redis.call('HMGET', inbox, 'label ' .. number, 'content ' .. number))}
  end
end
return {'done', exact(now), whole(session and session.answers_read or 0), found}
"""
)

# after, limit
READ_LOG: Final = (
    _BEGINNING
    + """
if not session then return {'absent', exact(now)} end
local first = math.max(tonumber(ARGV[5]), session.dropped) + 1
return {'done', exact(now), whole(first), whole(session.seq),
  redis.call('XRANGE', log, whole(first) .. '-0', '+', 'COUNT', ARGV[6])}
"""
)

# Whatever lies there: a key of another kind, too.
DELETE: Final = """
local now, ttl = tonumber(ARGV[1]), tonumber(ARGV[2])
if not now then
  local clock = redis.call('TIME')
  now = tonumber(clock[1]) + tonumber(clock[2]) / 1000000
end
local was_there = redis.call('EXISTS', KEYS[1], KEYS[2], KEYS[3]) > 0
if ttl > 0 and redis.call('TYPE', KEYS[1])['ok'] == 'hash' then
  local found = redis.call('HMGET', KEYS[1], 'updated_at', 'owner', 'until')
  local updated_at, ends = tonumber(found[1] or ''), tonumber(found[3] or '')
  local is_leased = found[2] and found[2] ~= '' and ends and ends > now
  if updated_at and updated_at + ttl <= now and not is_leased then was_there = false end
end
redis.call('DEL', KEYS[1], KEYS[2], KEYS[3])
for place = 4, 6 do
  redis.pcall('ZREM', KEYS[place], place == 4 and ARGV[3] or ARGV[4])
end
return {was_there and 'done' or 'absent', string.format('%.17g', now)}
"""
