"""What must happen in Redis at once, as Lua: each script runs alone and reaches the append-only file whole or not.

Scripts over faces: KEYS: 1 the gallery, 2 its sorted set of face ids, 3 its number of subjects. ARGV: 1 the gallery's
record as the caller has read it, 2 the prefix of face keys, 3 the prefix of subject keys. Who comes too late, the
gallery being dropped or made anew, is answered GONE. Whatever deletes does so first: a full Redis refuses a script
that begins by adding.
"""

GONE = -1
FULL = -2

_PREAMBLE = f"""
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return {GONE} end
local function forget(subject, face_id)
  local faces_of_subject = ARGV[3] .. subject
  redis.call('SREM', faces_of_subject, face_id)
  if redis.call('EXISTS', faces_of_subject) == 0 then redis.call('DECR', KEYS[3]) end
end
"""

# ARGV: 4 the most faces a gallery may hold, then for each face: id, subject, derived_from, translator (both empty for
# a native face), feature.
# Returns how many faces were new.
UPSERT = f"""{_PREAMBLE}
local new = 0
for i = 5, #ARGV, 5 do
  if redis.call('EXISTS', ARGV[2] .. ARGV[i]) == 0 then new = new + 1 end
end
if redis.call('ZCARD', KEYS[2]) + new > tonumber(ARGV[4]) then return {FULL} end
for i = 5, #ARGV, 5 do
  local face_id, subject = ARGV[i], ARGV[i + 1]
  local face, faces_of_subject = ARGV[2] .. face_id, ARGV[3] .. subject
  local before = redis.call('HGET', face, 'subject')
  if before and before ~= subject then forget(before, face_id) end
  if redis.call('EXISTS', faces_of_subject) == 0 then redis.call('INCR', KEYS[3]) end
  redis.call('SADD', faces_of_subject, face_id)
  redis.call('ZADD', KEYS[2], 0, face_id)
  redis.call('HSET', face, 'subject', subject, 'feature', ARGV[i + 4])
  if ARGV[i + 2] ~= '' then redis.call('HSET', face, 'derived_from', ARGV[i + 2], 'translator', ARGV[i + 3])
  elseif before then redis.call('HDEL', face, 'derived_from', 'translator') end
end
return new
"""

# ARGV: 4 the face's id. Returns how many faces were deleted: 0 or 1.
DELETE_FACE = f"""{_PREAMBLE}
local subject = redis.call('HGET', ARGV[2] .. ARGV[4], 'subject')
if not subject then return 0 end
redis.call('DEL', ARGV[2] .. ARGV[4])
redis.call('ZREM', KEYS[2], ARGV[4])
forget(subject, ARGV[4])
return 1
"""

# ARGV: 4 the subject. Returns how many faces were deleted.
DELETE_SUBJECT = f"""{_PREAMBLE}
local face_ids = redis.call('SMEMBERS', ARGV[3] .. ARGV[4])
for _, face_id in ipairs(face_ids) do
  redis.call('DEL', ARGV[2] .. face_id)
  redis.call('ZREM', KEYS[2], face_id)
  forget(ARGV[4], face_id)
end
return #face_ids
"""

# A gallery exists, is listed, takes its place and has its index in one step: apart, an interruption or a drop between
# the steps would leave a gallery that no list shows or no search can read, or an index of none. The index comes first:
# Redis may refuse it. The two keys have two hash tags, hence one Redis and no cluster.
# KEYS: 1 the gallery, 2 the names of all galleries. ARGV: 1 a fresh record, 2 the name, 3 the most galleries, 4 and on:
# the command that makes the index.
# Returns the record that holds now, fresh or not, or FULL.
CREATE = f"""
local record = redis.call('GET', KEYS[1])
if record then return record end
if redis.call('SCARD', KEYS[2]) >= tonumber(ARGV[3]) then return {FULL} end
redis.call(unpack(ARGV, 4))
redis.call('SADD', KEYS[2], ARGV[2])
redis.call('SET', KEYS[1], ARGV[1])
return ARGV[1]
"""

# For a gallery without an index, as earlier versions could leave one. KEYS: 1 the gallery, 2 its sorted set of face
# ids. ARGV: 1 its record, 2 the name of the index, 3 and on: the command that makes it.
# Returns 1 while faces are missing in the index, as Redis reads those that were there in the background; else 0.
HEAL_INDEX = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
local answer = redis.pcall('FT.INFO', ARGV[2])
if answer.err then
  redis.call(unpack(ARGV, 3))
  answer = redis.call('FT.INFO', ARGV[2])
end
local info = {}
for i = 1, #answer, 2 do info[answer[i].ok or answer[i]] = answer[i + 1] end -- Lua has simple strings in tables
if tonumber(info.indexing) == 0 or tonumber(info.num_docs) >= redis.call('ZCARD', KEYS[2]) then return 0 end
return 1
"""

# The gallery's other keys are purged afterwards. KEYS: 1 the gallery, 2 the names of all galleries, 3 what is to be
# purged. ARGV: 1 the name. Returns the dropped record, or nothing.
DROP = """
local record = redis.call('GET', KEYS[1])
if not record then return false end
redis.call('DEL', KEYS[1])
redis.call('SREM', KEYS[2], ARGV[1])
redis.call('SADD', KEYS[3], record)
return record
"""

# One bounded step of a purge. KEYS: 1 the sorted set of face ids, 2 the number of subjects. ARGV: 1 the prefix of face
# keys, 2 the prefix of subject keys, 3 the most faces of a step. Returns how many faces remain.
PURGE = """
local face_ids = redis.call('ZRANGE', KEYS[1], 0, ARGV[3] - 1)
for _, face_id in ipairs(face_ids) do
  local subject = redis.call('HGET', ARGV[1] .. face_id, 'subject')
  redis.call('DEL', ARGV[1] .. face_id)
  if subject then redis.call('DEL', ARGV[2] .. subject) end
end
redis.call('ZREMRANGEBYRANK', KEYS[1], 0, ARGV[3] - 1)
local remaining = redis.call('ZCARD', KEYS[1])
if remaining == 0 then redis.call('DEL', KEYS[2]) end
return remaining
"""
