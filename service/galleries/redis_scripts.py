"""What must happen in Redis at once, as Lua: each script runs alone and reaches the append-only file whole or not.

KEYS[1] is the gallery, a hash: `incarnation`; `serving` and `second`, its copies, each as "number dim space";
`revision`, the last one given; how many `faces` and `subjects` there are, `held:<space>` and `origin:<space>`, and of
the held ones `made:<space> <translator>`;
`dropped:<space>` for copies whose features still lie in the faces; `approximation:<space>`, what was measured of one.
All other keys begin with it and have its hash tag, so that they lie on its server. Whatever deletes does so first: a
full Redis refuses a script that begins by adding.

Indexes are made apart: a cluster with a search coordinator refuses FT commands in scripts.
"""

NEW, OLD = "n", "o"

OPENING = """
local gallery = KEYS[1]
local incarnation = redis.call('HGET', gallery, 'incarnation')
if not incarnation then return redis.error_reply('UNKNOWNGALLERY') end
local base = gallery .. ':' .. incarnation
local faces, described = base .. ':faces', base .. ':described'
local function face_key(face_id) return base .. ':face:' .. face_id end
local function subject_key(subject) return base .. ':subject:' .. subject end
local function leases_key(copy) return base .. ':leases:' .. copy.number end

local copies = {} -- the serving one first
for i, text in ipairs(redis.call('HMGET', gallery, 'serving', 'second')) do
  if text then
    local number, dim, space = string.match(text, '^(%d+) (%d+) (%S+)$')
    copies[i] = {text = text, number = number, dim = dim, space = space}
  end
end
local function copy_in(space, dim)
  for _, copy in ipairs(copies) do
    if copy.space == space and copy.dim == dim then return copy end
  end
end

local counts = {} -- what is to be added to the gallery's counts
local function count(field, number) counts[field] = (counts[field] or 0) + number end
local function write_counts()
  for field, number in pairs(counts) do
    if redis.call('HINCRBY', gallery, field, number) == 0 then redis.call('HDEL', gallery, field) end
  end
end
local function counted(field) return tonumber(redis.call('HGET', gallery, field) or 0) end
"""

# The fields of a face by which it is in a copy, that it counts there, and that no lease on it counts any more.
HOLD = """
local function hold(face_id, fields, copy, feature, translator, confidence)
  local space = copy.space
  fields[#fields + 1], fields[#fields + 2] = 'feature:' .. space, feature
  if translator and translator ~= '' then
    fields[#fields + 1], fields[#fields + 2] = 'translator:' .. space, translator
    count('made:' .. space .. ' ' .. translator, 1)
  end
  if confidence and confidence ~= '' then
    fields[#fields + 1], fields[#fields + 2] = 'confidence:' .. space, confidence
  end
  count('held:' .. space, 1)
  redis.call('ZREM', leases_key(copy), face_id)
end
"""

_SUBJECTS = """
local left = {} -- subjects that a face has left: a later row may bring another, so none is forgotten before the last
local function join(subject, face_id)
  if not left[subject] and redis.call('EXISTS', subject_key(subject)) == 0 then count('subjects', 1) end
  redis.call('SADD', subject_key(subject), face_id)
end
local function leave(subject, face_id)
  redis.call('SREM', subject_key(subject), face_id)
  left[subject] = true
end
local function forget_faceless()
  for subject in pairs(left) do
    if redis.call('EXISTS', subject_key(subject)) == 0 then
      redis.call('HDEL', described, subject)
      count('subjects', -1)
    end
  end
end
local function uncount(face) -- a face that is to be deleted or made anew
  count('origin:' .. redis.call('HGET', face, 'origin'), -1)
  for _, copy in ipairs(copies) do
    local feature, translator = unpack(redis.call('HMGET', face, 'feature:' .. copy.space, 'translator:' .. copy.space))
    if feature then count('held:' .. copy.space, -1) end
    if feature and translator then count('made:' .. copy.space .. ' ' .. translator, -1) end
  end
end
"""

# ARGV: 1 the most faces a gallery may hold, 2 the number of renditions, the original's first; for each: space, dim,
# translator (empty for native features); then for each face: id, subject, tags, enrolled_at_ms, metadata, metadata of
# the subject (these texts empty for none), and for each rendition: feature, confidence (empty where there is none).
# Returns a letter for each face, NEW or OLD, or nothing where they do not fit.
UPSERT = f"""{OPENING}{HOLD}{_SUBJECTS}
local renditions, given, first = {{}}, {{}}, 3
for i = 1, tonumber(ARGV[2]) do
  local rendition = {{space = ARGV[first], translator = ARGV[first + 2]}}
  rendition.copy = copy_in(rendition.space, ARGV[first + 1])
  renditions[i], given[rendition.space], first = rendition, true, first + 3
  if not rendition.copy then
    if i > 1 then return redis.error_reply('COPIESCHANGED') end
    for _, copy in ipairs(copies) do
      if copy.space == rendition.space then return redis.error_reply('COPIESCHANGED') end
    end
  end
end
if not given[copies[1].space] then return redis.error_reply('COPIESCHANGED') end
local width, rows, new, seen = 6 + 2 * #renditions, {{}}, 0, {{}}
for i = first, #ARGV, width do
  local there = seen[ARGV[i]] or redis.call('EXISTS', face_key(ARGV[i])) == 1
  rows[#rows + 1], new, seen[ARGV[i]] = there and '{OLD}' or '{NEW}', there and new or new + 1, true
end
if counted('faces') + new > tonumber(ARGV[1]) then return false end

local revision, origin = redis.call('HINCRBY', gallery, 'revision', 1), renditions[1].space
for i = first, #ARGV, width do
  local face_id, subject, face = ARGV[i], ARGV[i + 1], face_key(ARGV[i])
  local fields = {{'subject', subject, 'enrolled_at_ms', ARGV[i + 3], 'origin', origin, 'revision', revision}}
  if ARGV[i + 2] ~= '' then fields[#fields + 1], fields[#fields + 2] = 'tags', ARGV[i + 2] end
  if ARGV[i + 4] ~= '' then fields[#fields + 1], fields[#fields + 2] = 'metadata', ARGV[i + 4] end
  for n, rendition in ipairs(renditions) do
    local feature, confidence = ARGV[i + 4 + 2 * n], ARGV[i + 5 + 2 * n]
    if rendition.copy then hold(face_id, fields, rendition.copy, feature, rendition.translator, confidence)
    else fields[#fields + 1], fields[#fields + 2] = 'original', feature end
  end
  local before = redis.call('HGET', face, 'subject')
  if before then
    uncount(face)
    redis.call('DEL', face)
  else
    redis.call('ZADD', faces, 0, face_id)
    count('faces', 1)
  end
  if before ~= subject then
    if before then leave(before, face_id) end
    join(subject, face_id)
  end
  if ARGV[i + 5] ~= '' then redis.call('HSET', described, subject, ARGV[i + 5]) end
  count('origin:' .. origin, 1)
  redis.call('HSET', face, unpack(fields))
end
forget_faceless()
write_counts()
return table.concat(rows)
"""

_DELETION = f"""{OPENING}{_SUBJECTS}
local function delete(face_id, subject)
  uncount(face_key(face_id))
  redis.call('DEL', face_key(face_id))
  redis.call('ZREM', faces, face_id)
  for _, copy in ipairs(copies) do redis.call('ZREM', leases_key(copy), face_id) end
  leave(subject, face_id)
  count('faces', -1)
end
"""

# ARGV: 1 the face's id.
DELETE_FACE = f"""{_DELETION}
local subject = redis.call('HGET', face_key(ARGV[1]), 'subject')
if not subject then return redis.error_reply('UNKNOWNFACE') end
delete(ARGV[1], subject)
forget_faceless()
write_counts()
return 1
"""

# ARGV: 1 the subject. Returns how many faces were deleted.
DELETE_SUBJECT = f"""{_DELETION}
local face_ids = redis.call('SMEMBERS', subject_key(ARGV[1]))
if #face_ids == 0 then return redis.error_reply('UNKNOWNSUBJECT') end
for _, face_id in ipairs(face_ids) do delete(face_id, ARGV[1]) end
forget_faceless()
write_counts()
return #face_ids
"""

# ARGV: 1 the subject, 2 what is to be kept with it.
DESCRIBE_SUBJECT = f"""{OPENING}
if redis.call('EXISTS', subject_key(ARGV[1])) == 0 then return redis.error_reply('UNKNOWNSUBJECT') end
redis.call('HSET', described, ARGV[1], ARGV[2])
return 1
"""

ORIGINAL = """
local function original(face_id)
  local face = face_key(face_id)
  local fields = {'subject', 'tags', 'enrolled_at_ms', 'metadata', 'origin', 'revision', 'original'}
  local row = redis.call('HMGET', face, unpack(fields))
  row[7] = row[7] or redis.call('HGET', face, 'feature:' .. row[5])
  table.insert(row, 5, redis.call('HGET', described, row[1]))
  table.insert(row, 1, face_id)
  return row
end
"""

# ARGV: 1 the face after which to begin (empty: at the first), 2 the most faces.
# Returns for each: id, subject, tags, enrolled_at_ms, metadata, metadata of the subject, origin, revision, feature.
ORIGINALS = f"""{OPENING}{ORIGINAL}
local rows = {{}}
local after = ARGV[1] == '' and '-' or '(' .. ARGV[1]
for i, face_id in ipairs(redis.call('ZRANGE', faces, after, '+', 'BYLEX', 'LIMIT', 0, ARGV[2])) do
  rows[i] = original(face_id)
end
return rows
"""
