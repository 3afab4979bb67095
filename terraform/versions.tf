terraform {
  required_version = ">= 1.5"
  required_providers {
    yandex = {
      source  = "yandex-cloud/yandex"
      version = ">= 0.120"
    }
  }
}

# Who pays comes from the environment: YC_TOKEN (or YC_SERVICE_ACCOUNT_KEY_FILE), YC_CLOUD_ID, YC_FOLDER_ID.
provider "yandex" {
  zone = var.zone
}
