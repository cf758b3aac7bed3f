"""What comes in and goes out, and who has how much."""

from .grafana import NAMESPACE, bars, dashboard, lines, number, quantile, rate, series, total

PROJECTS = "max by (namespace, project)"


def now():
    gauge = lambda metric: f"sum({PROJECTS} ({series(metric)}))"
    return [
        number("Stored", "Bytes of the 50 largest projects.", (gauge("granary_project_stored_bytes"), ""), unit="decbytes", width=6),
        number("Objects", "Objects of the 50 largest projects.", (gauge("granary_project_objects"), ""), width=6),
        number("Coming in", "Bytes of completed uploads.", (total(rate("granary_upload_bytes_total")), ""), unit="Bps", width=6),
        number("Calls today", "Calls of the 50 largest projects since midnight UTC.", (gauge("granary_project_requests_today"), ""), width=6),
    ]


def transfers():
    of_storage = 'grpc_service=~"granary[.]storage[.].+"'
    return [
        lines("Bytes in", "Bytes of completed uploads.", (total(rate("granary_upload_bytes_total")), "uploads"), unit="Bps"),
        lines("Uploads", "Uploads that were completed, or refused since what arrived is not what was declared.", (total(rate("granary_uploads_total"), "outcome"), "{{outcome}}"), unit="ops"),
        lines("Downloads", "URLs that were signed for downloads.", (total(rate("granary_downloads_signed_total")), "signed"), unit="ops"),
        lines("Calls of storage", "Calls that hand out URLs and take in what arrived, by method.", (total(rate("grpc_server_handled_total", of_storage), "grpc_method"), "{{grpc_method}}"),
              unit="reqps", width=12),
        lines("p95 of storage", "95 % of the calls of a method take no longer: most of the time goes to the object store.",
              (quantile(0.95, "grpc_server_handling_seconds", of_storage, by="grpc_method"), "{{grpc_method}}"), unit="s", width=12),
    ]


def usage():
    top = lambda metric: f"topk(20, {PROJECTS} ({series(metric)}))"
    return [
        bars("Bytes by project", "The 20 largest projects.", (top("granary_project_stored_bytes"), "{{project}}"), unit="decbytes", height=12),
        bars("Objects by project", "The 20 projects with the most objects, of the 50 largest.", (top("granary_project_objects"), "{{project}}"), height=12),
        bars("Calls by project", "Calls since midnight UTC: the 20 busiest of the 50 largest projects.", (top("granary_project_requests_today"), "{{project}}"), height=12),
        lines("Growth", "Bytes by project over time.", (top("granary_project_stored_bytes"), "{{project}}"), unit="decbytes", stacked=True, width=12),
        lines("Audit entries to be stored", "Entries of the audit log that are not stored yet.", (f"max by (pod, instance) ({series('granary_ledger_pending')})", "{{pod}} {{instance}}"), width=12),
    ]


def board():
    rows = [("Now", now()), ("Transfers", transfers()), ("Usage", usage())]
    return dashboard("storage", "Storage and usage", "What comes in and goes out, and who has how much.", [NAMESPACE], rows)
