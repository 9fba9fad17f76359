-- One row per invoice: the last number in the row that its total stands in.
CREATE OR REPLACE TABLE invoice_totals AS
WITH numbers AS (
    SELECT c.document_id, c.file_name, c.page_number, c.region_id, c.row_index, c.column_index,
        TRY_CAST(regexp_replace(c.text, '[^0-9.-]', '', 'g') AS DECIMAL(18, 2)) AS amount
    FROM pdfs.table_cells c
    WHERE c.row_index IN (
        SELECT label.row_index FROM pdfs.table_cells label
        WHERE (label.document_id, label.page_number, label.region_id)
                = (c.document_id, c.page_number, c.region_id)
            AND regexp_matches(label.text, '^(grand )?total\b', 'i')
    )
)
SELECT document_id, any_value(file_name) AS file_name,
    arg_max(amount, (page_number, row_index, column_index)) AS total
FROM numbers WHERE amount IS NOT NULL
GROUP BY document_id
