"""Notes and counts that all gateways share."""

from collections.abc import Mapping

from service.galleries.notes import check_length
from service.galleries.redis_commands import RedisCommands
from service.galleries.redis_records import NOTES_KEY, tally_key_of

# KEYS: 1 the notes. ARGV: 1 a key, 2 the most notes, 3 whether there is a text to keep, 4 the text, 5 what is kept now,
# absent where there is nothing. Returns whether that is so.
NOTE = """
local now = redis.call('HGET', KEYS[1], ARGV[1])
if now ~= (ARGV[5] or false) then return 0 end
if ARGV[3] == '0' then
  redis.call('HDEL', KEYS[1], ARGV[1])
  redis.call('DEL', '{' .. KEYS[1] .. '}:tally:' .. ARGV[1])
  redis.call('SREM', '{' .. KEYS[1] .. '}:tallies', ARGV[1])
  return 1
end
if not now and redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[2]) then return redis.error_reply('NOTESFULL') end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[4])
return 1
"""

# KEYS: 1 the notes, whose server keeps the counts. ARGV: 1 a key, 2 the most keys, then a name and a number for each.
TALLY = """
local tallies = '{' .. KEYS[1] .. '}:tallies'
if redis.call('SISMEMBER', tallies, ARGV[1]) == 0 and redis.call('SCARD', tallies) >= tonumber(ARGV[2]) then
  return redis.error_reply('NOTESFULL')
end
redis.call('SADD', tallies, ARGV[1])
for i = 3, #ARGV, 2 do redis.call('HINCRBY', '{' .. KEYS[1] .. '}:tally:' .. ARGV[1], ARGV[i], ARGV[i + 1]) end
return 1
"""


async def note(redis: RedisCommands, key: str, value: str | None, before: str | None, notes_max: int) -> bool:
    """Compare and set, or forget."""
    check_length(value or "")
    expected = () if before is None else (before,)
    return bool(await redis.change(NOTE, NOTES_KEY, key, notes_max, int(value is not None), value or "", *expected))


async def noted(redis: RedisCommands, key: str) -> str | None:
    """The text under a key."""
    value = await redis.command("HGET", NOTES_KEY, key)
    return None if value is None else str(value.decode())


async def notes(redis: RedisCommands) -> Mapping[str, str]:
    """All notes."""
    return {key.decode(): value.decode() for key, value in (await redis.command("HGETALL", NOTES_KEY)).items()}


async def tally(redis: RedisCommands, key: str, counts: Mapping[str, int], tallies_max: int) -> None:
    """Add all counts at once."""
    if counts:
        await redis.change(TALLY, NOTES_KEY, key, tallies_max, *(part for pair in counts.items() for part in pair))


async def tallied(redis: RedisCommands, key: str) -> Mapping[str, int]:
    """The counts under a key."""
    counts = await redis.command("HGETALL", tally_key_of(key))
    return {name.decode(): int(count) for name, count in counts.items()}
