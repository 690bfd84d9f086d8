-- What becomes of messages.
local RANK = { queued = 0, sent = 1, failed = 2, delivered = 3 }
local function may_become(row, delivery)
    return RANK[row.delivery] < RANK[delivery]
end

-- The place that a message took in its window, as if it had never been.
local function give_back(key, taken_at)
    local name = bucket_name('w', key)
    local values = read_bucket(name)
    for i = #values, 1, -1 do
        if values[i] == taken_at then
            table.remove(values, i)
            if #values == 0 then
                redis.call('DEL', name)
            else
                redis.call('SET', name, cmsgpack.pack(values), 'KEEPTTL')
            end
            return
        end
    end
end
