"""The scripts over a gallery's copies. Mostly only the second copy has faces missing.

A copy's leases are a sorted set of face ids by the time, on Redis' clock in ms, at which their lease ends: a face is
leased for this copy again only after that, so this time says which claim holds it. The gallery's `cursor:<number>` is
the last face that claims for a copy have walked past.
"""

from service.galleries.redis_scripts import HOLD, OPENING, ORIGINAL

NOTHING_NOW = 0
GO_ON = 1
STARTED_OVER = 2

# ARGV: 1 the space, 2 its dim. Returns whether it began: not while features of a dropped copy in it remain.
ADD_COPY = f"""{OPENING}
if copies[2] or copies[1].space == ARGV[1] then return redis.error_reply('COPYEXISTS') end
if redis.call('HEXISTS', gallery, 'dropped:' .. ARGV[1]) == 1 then return 0 end
local number = redis.call('HINCRBY', gallery, 'revision', 1)
redis.call('HSET', gallery, 'second', number .. ' ' .. ARGV[2] .. ' ' .. ARGV[1])
return 1
"""

_COPY_WITH_KEY = """
local copy = copy_in(ARGV[1], ARGV[2])
if copy and ARGV[3] ~= '' and ARGV[3] ~= incarnation .. ':' .. copy.number then copy = nil end
"""

# ARGV: 1 the space, 2 its dim, 3 the key of the copy that is meant (empty: whichever is in this space). Features remain
# in the faces, and the index remains.
# Returns what tells the copy that is to be taken out, dropped now or before, from all others; nothing if there is none.
DROP_COPY = f"""{OPENING}{_COPY_WITH_KEY}
if not copy then
  local dropped = redis.call('HGET', gallery, 'dropped:' .. ARGV[1])
  return dropped and incarnation .. ':' .. string.match(dropped, '^%d+')
end
if copy == copies[1] then return redis.error_reply('COPYSERVES') end
redis.call('HDEL', gallery, 'second', 'held:' .. copy.space, 'approximation:' .. copy.space, 'cursor:' .. copy.number)
redis.call('DEL', leases_key(copy))
local made = 'made:' .. copy.space .. ' '
for _, field in ipairs(redis.call('HKEYS', gallery)) do
  if string.sub(field, 1, #made) == made then redis.call('HDEL', gallery, field) end
end
redis.call('HSET', gallery, 'dropped:' .. copy.space, copy.number .. ' ')
return incarnation .. ':' .. copy.number
"""

# One bounded step that takes a dropped copy's features out of the faces; a native one stays as the original.
# ARGV: 1 the space, 2 the copy's number, 3 the most faces of a step. Returns whether there is more to do.
TAKE_OUT = f"""{OPENING}
local field, space, steps = 'dropped:' .. ARGV[1], ARGV[1], tonumber(ARGV[3])
local number, cursor = string.match(redis.call('HGET', gallery, field) or '', '^(%d+) (.*)$')
if number ~= ARGV[2] then return 0 end
local face_ids = redis.call('ZRANGE', faces, cursor == '' and '-' or '(' .. cursor, '+', 'BYLEX', 'LIMIT', 0, steps)
for _, face_id in ipairs(face_ids) do
  local face = face_key(face_id)
  local feature, origin, original = unpack(redis.call('HMGET', face, 'feature:' .. space, 'origin', 'original'))
  if feature then
    redis.call('HDEL', face, 'feature:' .. space, 'translator:' .. space, 'confidence:' .. space)
    if origin == space and not original then redis.call('HSET', face, 'original', feature) end
  end
end
if #face_ids < steps then
  redis.call('HDEL', gallery, field)
  return 0
end
redis.call('HSET', gallery, field, number .. ' ' .. face_ids[#face_ids])
return 1
"""

# ARGV as DROP_COPY's, and 4 whether it has to be complete, 0 or 1. Returns whether anything changed.
SERVE = f"""{OPENING}{_COPY_WITH_KEY}
local is_complete = copy and counted('held:' .. copy.space) == counted('faces')
if not copy or (ARGV[4] == '1' and not is_complete) then return redis.error_reply('COPYINCOMPLETE') end
if copy == copies[1] then return 0 end
redis.call('HSET', gallery, 'serving', copy.text, 'second', copies[1].text)
return 1
"""

# ARGV: 1 the space, 2 its dim, 3 the copy's number, 4 what was measured of its approximate search.
KEEP_APPROXIMATION = f"""{OPENING}
local copy = copy_in(ARGV[1], ARGV[2])
if not copy or copy.number ~= ARGV[3] then return redis.error_reply('COPIESCHANGED') end
redis.call('HSET', gallery, 'approximation:' .. copy.space, ARGV[4])
return 1
"""

# ARGV: 1 the space, 2 its dim, 3 the copy's number.
FORGET_APPROXIMATION = f"""{OPENING}
local copy = copy_in(ARGV[1], ARGV[2])
if not copy or copy.number ~= ARGV[3] then return 0 end
return redis.call('HDEL', gallery, 'approximation:' .. copy.space)
"""

# ARGV: 1 the space, 2 its dim, 3 the most faces to lease, 4 the length of the lease in ms, 5 the most faces of a step.
# Returns what to do where none was leased, then the incarnation, the copy's number, the end of the lease and the
# leased faces as ORIGINALS does.
CLAIM = f"""{OPENING}{ORIGINAL}
local copy = copy_in(ARGV[1], ARGV[2])
if not copy then return redis.error_reply('COPIESCHANGED') end
local missing = counted('faces') - counted('held:' .. copy.space)
if missing == 0 then return {{{NOTHING_NOW}}} end
local limit, steps, feature = tonumber(ARGV[3]), tonumber(ARGV[5]), 'feature:' .. copy.space
local leases, cursor_field = leases_key(copy), 'cursor:' .. copy.number
local seconds, microseconds = unpack(redis.call('TIME'))
local now = seconds * 1000 + math.floor(microseconds / 1000)
local cursor, lease_ends, face_ids = redis.call('HGET', gallery, cursor_field) or '', now + ARGV[4], {{}}
local function lease(face_id)
  redis.call('ZADD', leases, lease_ends, face_id)
  face_ids[#face_ids + 1] = face_id
end
local function walk() -- on from the cursor; returns whether it has met the last face
  local after = cursor == '' and '-' or '(' .. cursor
  local page = redis.call('ZRANGE', faces, after, '+', 'BYLEX', 'LIMIT', 0, steps)
  for _, face_id in ipairs(page) do
    if #face_ids == limit then return false end
    cursor = face_id
    local leased = redis.call('ZSCORE', leases, face_id)
    if not leased and redis.call('HEXISTS', face_key(face_id), feature) == 0 then lease(face_id) end
  end
  return #page < steps
end
for _, face_id in ipairs(redis.call('ZRANGE', leases, '-inf', now, 'BYSCORE', 'LIMIT', 0, limit)) do
  local revision, held = unpack(redis.call('HMGET', face_key(face_id), 'revision', feature))
  if revision and not held then lease(face_id) else redis.call('ZREM', leases, face_id) end
end
local state = {GO_ON}
if #face_ids < limit and walk() then
  state = {NOTHING_NOW}
  if missing > redis.call('ZCARD', leases) then -- faces behind the cursor are missing
    cursor, state = '', {STARTED_OVER}
    walk()
  end
end
table.sort(face_ids)
local rows = {{}}
for i, face_id in ipairs(face_ids) do rows[i] = original(face_id) end
redis.call('HSET', gallery, cursor_field, cursor)
return {{state, incarnation, copy.number, lease_ends, rows}}
"""

# ARGV: 1 the space, 2 its dim, 3 the incarnation, 4 the copy's number and 5 the end of the lease as claimed; then for
# each face: id, revision, feature, translator, confidence (both empty where there is none).
# Returns how many faces were written. A native face takes its original, whatever is given.
FILL = f"""{OPENING}{HOLD}
local copy = copy_in(ARGV[1], ARGV[2])
if not copy or incarnation ~= ARGV[3] or copy.number ~= ARGV[4] then return redis.error_reply('COPIESCHANGED') end
local space, leases, written = copy.space, leases_key(copy), 0
for i = 6, #ARGV, 5 do
  local face_id, face = ARGV[i], face_key(ARGV[i])
  local revision, held, origin, original =
    unpack(redis.call('HMGET', face, 'revision', 'feature:' .. space, 'origin', 'original'))
  if revision == ARGV[i + 1] and not held then
    local fields = {{}}
    if origin == space then
      redis.call('HDEL', face, 'original')
      hold(face_id, fields, copy, original)
    else
      hold(face_id, fields, copy, ARGV[i + 2], ARGV[i + 3], ARGV[i + 4])
    end
    redis.call('HSET', face, unpack(fields))
    written = written + 1
  end
  if redis.call('ZSCORE', leases, face_id) == ARGV[5] then redis.call('ZREM', leases, face_id) end
end
write_counts()
return written
"""
