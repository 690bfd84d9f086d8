-- The numbers that limits count with: "b" those that take, "f" wrong codes in a row.
local function bucket_name(kind, key)
    return base .. (kind == 'f' and ':f:' or ':b:') .. key
end

-- What this script knows of them, by their names: it reads each once.
local buckets = {}

local function read_bucket(name)
    local values = buckets[name]
    if not values then
        local text = redis.call('GET', name)
        values = text and cmsgpack.unpack(text) or {}
        buckets[name] = values
    end
    return values
end
