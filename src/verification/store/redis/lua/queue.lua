-- What waits to be sent, by the replica that has it in its memory.
local queue = base .. ':q'

local function enqueue(row, replica)
    if row.replica and row.replica ~= replica then
        redis.call('ZREM', queue, row.replica .. row.id)
    end
    row.replica = replica
    redis.call('ZADD', queue, 0, replica .. row.id)
    redis.call('PEXPIRE', queue, DAY / 12)
end

local function dequeue(row)
    if row.replica then
        redis.call('ZREM', queue, row.replica .. row.id)
        row.replica = nil
    end
end
