"""The scripts by which a gallery comes and goes. Its name lies on another server of a cluster than the gallery may.

The name is taken first and given back last, and only by the incarnation that holds it. While what was dropped is being
purged, none of its name is created.
"""

# KEYS: 1 the hash of names, each with its incarnation. ARGV: 1 the name, 2 a fresh incarnation, 3 the most galleries.
# Returns the incarnation to create, the fresh one or that of who came before, or nothing where no place is left.
TAKE_NAME = """
local incarnation = redis.call('HGET', KEYS[1], ARGV[1])
if incarnation then return incarnation end
if redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[3]) then return false end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
return ARGV[2]
"""

# KEYS: 1 the hash of names. ARGV: 1 the name, 2 the incarnation. For a gallery whose name was given back meanwhile.
KEEP_NAME = """
return redis.call('HSETNX', KEYS[1], ARGV[1], ARGV[2])
"""

# KEYS: 1 the hash of names. ARGV: 1 the name, 2 the incarnation that is gone.
GIVE_NAME_BACK = """
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
return redis.call('HDEL', KEYS[1], ARGV[1])
"""

# KEYS: 1 the gallery. ARGV: 1 an incarnation, 2 the first copy as "1 dim space". Returns whether it was created: not if
# there is one, nor while the last of this name is being purged.
CREATE = """
if redis.call('EXISTS', KEYS[1]) == 1 or redis.call('EXISTS', KEYS[1] .. ':dropped') == 1 then return 0 end
redis.call('HSET', KEYS[1], 'incarnation', ARGV[1], 'serving', ARGV[2], 'revision', 1)
return 1
"""

# KEYS: 1 the gallery. Its record is kept under another key until the rest is purged.
# Returns the incarnation that is to be purged, dropped now or before, or nothing where there is none.
DROP = """
if redis.call('EXISTS', KEYS[1]) == 1 then redis.call('RENAME', KEYS[1], KEYS[1] .. ':dropped') end
return redis.call('HGET', KEYS[1] .. ':dropped', 'incarnation')
"""

# One bounded step of a purge. KEYS: 1 the gallery. ARGV: 1 the incarnation, 2 the most faces of a step.
# Returns whether faces remain; or -1 where somebody else has finished the purge.
PURGE = """
if redis.call('HGET', KEYS[1] .. ':dropped', 'incarnation') ~= ARGV[1] then return -1 end
local base = KEYS[1] .. ':' .. ARGV[1]
local face_ids = redis.call('ZRANGE', base .. ':faces', 0, ARGV[2] - 1)
for _, face_id in ipairs(face_ids) do
  local subject = redis.call('HGET', base .. ':face:' .. face_id, 'subject')
  redis.call('DEL', base .. ':face:' .. face_id)
  if subject then redis.call('DEL', base .. ':subject:' .. subject) end
end
redis.call('ZREMRANGEBYRANK', base .. ':faces', 0, ARGV[2] - 1)
if redis.call('EXISTS', base .. ':faces') == 1 then return 1 end
for _, copy in ipairs(redis.call('HMGET', KEYS[1] .. ':dropped', 'serving', 'second')) do
  if copy then redis.call('DEL', base .. ':leases:' .. string.match(copy, '^%d+')) end
end
redis.call('DEL', base .. ':described')
return 0
"""

# KEYS: 1 the gallery. ARGV: 1 the incarnation, of which nothing else is left.
FORGET = """
if redis.call('HGET', KEYS[1] .. ':dropped', 'incarnation') ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1] .. ':dropped')
"""
