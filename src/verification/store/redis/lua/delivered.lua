local id, message, outcome, provider, reference, held, same_code = cmsgpack.unpack(ARGV[2])
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
        row.delivery = 'sent'
    end
    row.provider, row.reference = provider, reference
    if row.code_by == 'provider' then
        row.held = held
    end
    kind = 'verification.sent'
else
    if not may_become(row, 'failed') then
        return { 'NO' }
    end
    row.delivery = 'failed'
    if outcome == 'failed' then
        give_back(row.window, row.queued)
        give_back(row.everywhere, row.queued)
    end
    kind = 'verification.delivery_failed'
end
dequeue(row)
transition(row, kind, {}, cause)
return { 'YES', shown(row), kind, cause }
