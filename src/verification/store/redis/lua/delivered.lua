local id, message, outcome = argument(), number(), argument()
local provider, reference, held, same_code = argument(), argument(), argument(), argument()
local row = read_row(id)
if not row or row.sends ~= message or (row.delivery ~= 'queued' and row.provider) then
    return { 'NO' }
end
local cause = provider
-- Two verifications of one destination, one code of the provider's: the second must not pass on the first one's code.
if outcome == 'sent' and row.code_by == 'provider' and not refers(held, row) then
    outcome, cause = 'perhaps', same_code
end
local kind
if outcome == 'sent' then
    if may_become(row, 'sent') then
        set(row, 'delivery', 'sent')
    end
    set(row, 'provider', provider)
    set(row, 'reference', reference)
    if row.code_by == 'provider' then
        set(row, 'held', held)
    end
    kind = 'verification.sent'
else
    if not may_become(row, 'failed') then
        return { 'NO' }
    end
    set(row, 'delivery', 'failed')
    if outcome == 'failed' then
        give_back(row.window, row.queued)
        -- A row of the version before has none.
        if row.everywhere then
            give_back(row.everywhere, row.queued)
        end
    end
    kind = 'verification.delivery_failed'
end
dequeue(row)
transition(row, kind, '|', cause)
return { 'YES', shown(row), kind, cause }
