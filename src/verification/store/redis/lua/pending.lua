-- Verifications that may be pending, by service, purpose and destination, each with its end.
local function enter_pending(row)
    local name = base .. ':p:' .. row.pending
    redis.call('ZADD', name, row.expires, row.id)
    redis.call('PEXPIRE', name, math.max(row.expires - now, DAY / 24))
end

local function newest_pending(key)
    local ids = redis.call('ZRANGEBYSCORE', base .. ':p:' .. key, '(' .. ARGV[1], '+inf')
    -- Ids lie in the order of time.
    table.sort(ids, function(one, other) return one > other end)
    for _, id in ipairs(ids) do
        local row = read_row(id)
        if row and status_of(row) == 'pending' then
            return row
        end
    end
end
