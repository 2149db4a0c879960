-- Takes credit and leases from the bucket of a rate limit.
-- KEYS: its name. ARGV: microseconds for one request, and to refill; requests given on credit, wanted, and given back;
-- microseconds to refill after all credit.
-- Returns how many requests are leased, and the microseconds until the bucket is full.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local interval, capacity = tonumber(ARGV[1]), tonumber(ARGV[2])
local credit, wanted, unused = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
-- What no gateway writes counts as full. A time further ahead is from a clock that was set back.
local stored = redis.pcall('GET', KEYS[1])
local full_at = type(stored) == 'string' and tonumber(stored) or 0
if not (full_at > now) then full_at = now end
full_at = math.min(full_at, now + tonumber(ARGV[6]))
full_at = math.max(full_at + (credit - unused) * interval, now)
local leased = math.max(0, math.min(wanted, math.floor((now + capacity - full_at) / interval)))
full_at = full_at + leased * interval
local full_in = full_at - now
if full_in > 0 then
  redis.call('SET', KEYS[1], string.format('%.0f', full_at), 'PX', math.ceil(full_in / 1000))
else
  redis.call('DEL', KEYS[1])
end
return {leased, math.ceil(full_in)}
