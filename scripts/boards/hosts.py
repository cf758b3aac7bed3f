"""The machines below: what node exporter says of them."""

from .grafana import RED, YELLOW, dashboard, lines, number, steps, variable

INSTANCE = variable("instance", "Host", 'node_load1{job="node-exporter"}')
# File systems that hold data, and links that lead out of the host.
DATA = 'fstype!~"tmpfs|devtmpfs|overlay|squashfs|ramfs|nsfs", mountpoint!~"/(boot|run|snap)($|/).*"'
LINKS = 'device!~"lo|veth.*|cali.*|cni.*|flannel.*|docker.*|br-.*"'
LITTLE = steps((0.1, YELLOW), (0.2, "green"), base=RED)
MUCH = steps((0.8, YELLOW), (0.95, RED))


def host(metric, *conditions, window=None):
    conditions = ", ".join(['job="node-exporter"', 'instance=~"$instance"', *conditions])
    return f"node_{metric}{{{conditions}}}" + (f"[{window}]" if window else "")


def rate(metric, *conditions):
    return f"rate({host(metric, *conditions, window='$__rate_interval')})"


IDLE = rate("cpu_seconds_total", 'mode="idle"')
BUSY = f"1 - avg by (instance) ({IDLE})"
MEMORY = f"{host('memory_MemAvailable_bytes')} / {host('memory_MemTotal_bytes')}"
ROOM = f"{host('filesystem_avail_bytes', DATA)} / {host('filesystem_size_bytes', DATA)}"
DISK = rate("disk_io_time_seconds_total")


def now():
    share = {"unit": "percentunit"}
    return [
        number("Hosts", "Hosts that are measured.", (f"count({host('load1')})", "")),
        number("Busiest processors", "The largest share of a host's processors that is busy.", (f"max({BUSY})", ""), thresholds=MUCH, **share),
        number("Least memory", "The smallest share of a host's memory that is available.", (f"min({MEMORY})", ""), thresholds=LITTLE, **share),
        number("Least room", "The smallest share of a file system that is free.", (f"min({ROOM})", ""), thresholds=LITTLE, **share),
        number("Busiest disk", "The largest share of the time that a disk is at work.", (f"max({DISK})", ""), thresholds=MUCH, **share),
        number("Load", "The largest load of a host: processes that run or wait.", (f"max({host('load1')})", ""), unit="none"),
    ]


def each():
    return [
        lines("Processors", "Share of a host's processors that is busy.", (BUSY, "{{instance}}"), unit="percentunit", width=12),
        lines("Memory", "Share of a host's memory that is available.", (MEMORY, "{{instance}}"), unit="percentunit", width=12),
        lines("Room", "Share of a file system that is free.", (ROOM, "{{instance}} {{mountpoint}}"), unit="percentunit", width=12),
        lines("Disks", "Share of the time that a disk is at work.", (DISK, "{{instance}} {{device}}"), unit="percentunit", width=12),
        lines("Read from disks", "Bytes in a second that are read.", (rate("disk_read_bytes_total"), "{{instance}} {{device}}"), unit="Bps", width=12),
        lines("Written to disks", "Bytes in a second that are written.", (rate("disk_written_bytes_total"), "{{instance}} {{device}}"), unit="Bps", width=12),
        lines("Operations of disks", "Reads and writes in a second.", (rate("disk_reads_completed_total"), "reads {{instance}} {{device}}"),
              (rate("disk_writes_completed_total"), "writes {{instance}} {{device}}"), unit="iops", width=12),
        lines("Time of writes", "How long a write takes, queue included.",
              (f"{rate('disk_write_time_seconds_total')} / ({rate('disk_writes_completed_total')} > 0)", "{{instance}} {{device}}"), unit="s", width=12),
        lines("Received", "Bytes in a second that a host receives.", (rate("network_receive_bytes_total", LINKS), "{{instance}} {{device}}"), unit="Bps", width=12),
        lines("Sent", "Bytes in a second that a host sends.", (rate("network_transmit_bytes_total", LINKS), "{{instance}} {{device}}"), unit="Bps", width=12),
    ]


def board():
    return dashboard("hosts", "Hosts", "Processors, memory, disks and network of the machines below.", [INSTANCE], [("Now", now()), ("Each host", each())])
