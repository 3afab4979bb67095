variable "name" {
  description = "Begins the name of everything that is made."
  type        = string
  default     = "bingo"
}

variable "zone" {
  description = "Availability zone of every machine: one, because the database is in one as well."
  type        = string
  default     = "ru-central1-a"
}

variable "network" {
  description = "Private addresses of the stand."
  type        = string
  default     = "10.130.0.0/24"
}

variable "operators" {
  description = "Who may come in by SSH, as CIDR blocks. Everybody else gets to ports 80 and 443 of the balancer alone."
  type        = list(string)

  validation {
    condition     = length(var.operators) > 0 && alltrue([for block in var.operators : can(cidrhost(block, 0))])
    error_message = "operators must name at least one CIDR block, as in [\"203.0.113.7/32\"]; without one nobody could set the machines up."
  }
}

variable "ssh_public_key" {
  description = "File with the public key of whoever runs Ansible."
  type        = string
  default     = "~/.ssh/id_ed25519.pub"
}

variable "nodes" {
  description = "How many machines run bingo."
  type        = number
  default     = 2

  validation {
    condition     = var.nodes >= 2 && var.nodes <= 40
    error_message = "nodes must be 2 to 40: one alone cannot be restarted without its users noticing."
  }
}

variable "image_family" {
  description = "Family of the image, of Yandex' standard ones. HTTP/3 needs Debian 13."
  type        = string
  default     = "debian-13"
}

variable "platform" {
  description = "Kind of processor."
  type        = string
  default     = "standard-v3"
}

variable "preemptible" {
  description = "Cheaper by two thirds; the cloud may take each machine away, once a day at the latest. Not for the database."
  type        = bool
  default     = false
}

# What is billed: cores by their share, memory, disks, the public address. The price list is at yandex.cloud/prices.
variable "sizes" {
  description = "Cores, their guaranteed share in percent, memory and disk in GB, and the kind of disk, by role."
  type = map(object({
    cores    = number
    share    = number
    memory   = number
    disk     = number
    disktype = string
  }))
  default = {
    balancer   = { cores = 2, share = 100, memory = 2, disk = 20, disktype = "network-ssd" }
    bingo      = { cores = 2, share = 50, memory = 2, disk = 15, disktype = "network-hdd" }
    postgresql = { cores = 4, share = 100, memory = 8, disk = 40, disktype = "network-ssd" }
    monitoring = { cores = 2, share = 50, memory = 4, disk = 30, disktype = "network-hdd" }
  }

  validation {
    condition     = alltrue([for role in ["balancer", "bingo", "postgresql", "monitoring"] : contains(keys(var.sizes), role)])
    error_message = "sizes must have balancer, bingo, postgresql and monitoring."
  }
}
